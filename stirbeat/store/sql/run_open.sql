-- Open the only run of this name; returns nothing while a live one is open, or when this very run was there before.
--
-- :id :kind :name :worker :lease_s
insert into run (id, kind, name, worker, lease_until)
values (:id, :kind, :name, :worker, now() + make_interval(secs => :lease_s))
on conflict do nothing
returning id

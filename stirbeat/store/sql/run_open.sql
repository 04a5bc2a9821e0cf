-- Open the only run of this name; returns nothing while a live one is open.
--
-- :id :kind :name :worker :lease_s
insert into run (id, kind, name, worker, lease_until)
values (:id, :kind, :name, :worker, now() + make_interval(secs => :lease_s))
on conflict (kind, name) where status = 'RUNNING' do nothing
returning id

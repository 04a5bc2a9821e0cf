"""The timetable's row type, the pause window, and the RedBeat entry that honours it."""

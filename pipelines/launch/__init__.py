"""How flows are started: servers, processes, schedules."""

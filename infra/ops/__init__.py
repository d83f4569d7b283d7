"""Running it: the web server with health, readiness and metrics, and how a process ends."""

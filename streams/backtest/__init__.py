"""Two models over one history, each as if it had always been active. Start with `run.py`."""

"""Run commands on another host over SSH: the way there, who is at its end, and what happens when it breaks."""

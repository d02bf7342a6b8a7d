"""The system itself: is it there, and what does it offer. No token needed."""

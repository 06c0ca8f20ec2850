"""One page that shows, and plays, what came of one or several experiments."""

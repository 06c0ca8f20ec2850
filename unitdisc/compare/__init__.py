"""A model's units beside what they must beat, by all scores, in one table."""

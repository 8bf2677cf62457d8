"""Answers in a language model's own words: it reads a picture's tokens before the question."""

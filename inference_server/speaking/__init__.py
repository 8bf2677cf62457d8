"""Answers in free text: a language model says them token by token, for several callers in turn."""

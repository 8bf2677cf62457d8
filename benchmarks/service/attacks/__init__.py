"""Every attack that is known of, as a case with its bar: floods beside an honest caller, edges that meet a hostile
server, and what a server must do with what is not allowed."""

"""Classification files: a final norm and a head beside the names of a backbone."""

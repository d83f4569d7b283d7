"""The dead letters as a whole: read them, send them again, erase them."""

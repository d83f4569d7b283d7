"""Who is it: both inputs, merged into one log a lead."""

"""What the doctor says of machines that lack something."""

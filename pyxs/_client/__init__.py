"""What methods of Client call: each is imported where it is needed."""

"""What a person may ask of whoever holds their data: to be given it, and to be forgotten; and how long records are kept."""

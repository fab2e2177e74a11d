"""Long runs that count what is lost, paid twice, or let through; each is a program."""

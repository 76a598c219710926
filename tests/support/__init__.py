"""What the tests share: a strict scripted upstream, a real server process, recordings."""

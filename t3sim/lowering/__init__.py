"""From what the user says to placed work: tiling, chunks, layout, kernel choice."""

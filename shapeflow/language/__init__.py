"""Language: parses the text of a `.shape` file into sentences, and formats sentences as text. Names and units are
resolved later, in `stages/resolve`."""

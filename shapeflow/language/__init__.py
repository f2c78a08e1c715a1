"""Language: from the text of a `.shape` file to sentences, and back to text. No meaning yet."""

"""Five models, and the changes that people make to them or to the machine."""

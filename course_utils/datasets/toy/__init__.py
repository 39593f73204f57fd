"""How the toy animals are drawn: their classes, bodies, scenes, and the brush."""

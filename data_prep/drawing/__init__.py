"""Pictures of made-up products: surfaces, a camera, and defects of any severity."""

"""What a person sees: notebooks, reports, tables, figures, controls."""

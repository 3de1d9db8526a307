"""The application: experiments from a sealed plan to a promoted winner."""

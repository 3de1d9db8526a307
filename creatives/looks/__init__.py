"""How each look of the engines without weights is drawn."""

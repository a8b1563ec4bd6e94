"""The plugins that mer ships, through the same public door as a third party's."""

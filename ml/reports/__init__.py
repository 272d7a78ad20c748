"""Reports as single HTML files: figures inside, no script, no network, readable on a phone."""

"""What a person sees of a run: tables (terminal), plots (files), map and page (a browser)."""

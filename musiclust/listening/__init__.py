"""What a collection is listened to by: songs that come later are placed, and playlists are made and written."""

"""The origin daemon: any file of one folder, with the manners that players and peers need."""

"""The executables: the file is the command. Arguments and printing only."""

"""The command line `te-collector`: arguments, messages for people, exit codes. Nothing here decides what is collected."""

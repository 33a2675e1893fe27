"""The command line `te-collector`: arguments, messages for people, exit codes.

One rule: nothing here decides what is collected.
"""

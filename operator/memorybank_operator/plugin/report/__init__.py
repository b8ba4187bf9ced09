"""`kubectl memorybank report`: what somebody needs who is to help, in one file, and no secret."""

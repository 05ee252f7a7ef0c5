"""What learners made of torch share: devices, the optimizer, and a look at whether numbers are finite."""

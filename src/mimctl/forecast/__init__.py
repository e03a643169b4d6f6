"""What the loads are and will be: from measurements that were taken at different instants to one picture."""

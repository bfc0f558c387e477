"""When to fly out of New York, and with whom: a Kedro project on the 336,776 flights of 2013."""

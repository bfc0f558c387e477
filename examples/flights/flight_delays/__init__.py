"""Who is late out of New York: a pipeline over the 336,776 flights of 2013."""

"""The words that every room shares: plain typed values, no behaviour beyond what keeps them true."""

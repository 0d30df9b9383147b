"""Splitting one large weight into two small ones: where, how finely, and with what in mind."""

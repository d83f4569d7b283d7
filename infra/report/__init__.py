"""The weekly report: one page for the meeting of marketing and sales, which works offline.

`facts` asks the database once, `changes`, `actions` and the sections are made of what it found,
and `page` writes them as HTML. The same data gives the same page, byte for byte.
"""

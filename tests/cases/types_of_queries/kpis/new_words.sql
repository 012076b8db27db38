/* ---
table: new_words
time: day
--- */
SELECT day, word FROM words WHERE word = 'new'

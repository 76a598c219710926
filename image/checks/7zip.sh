# Pack and unpack a 7z and an encrypted zip archive under all names of the program.
for name in 7z 7za 7zz; do
    rm -rf a.7z out && seq 1000 >numbers
    "$name" a -bso0 a.7z numbers && "$name" x -bso0 -oout a.7z
    cmp numbers out/numbers
done
7z a -bso0 -psecret -tzip a.zip numbers && 7z x -bso0 -psecret -oout2 a.zip && cmp numbers out2/numbers
echo "7zip: $(7z i | head -2 | tail -1)"

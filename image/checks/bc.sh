# Calculate with decimals.
[ "$(echo 'scale=20; 4*a(1)' | bc -l)" = 3.14159265358979323844 ]
echo "bc: pi by arctangent"

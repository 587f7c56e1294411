package cli

//go:generate sh -c "for page in errors configuration credentials cli doctor presets fleet metrics; do go run ../../cmd/sallyport reference ${DOLLAR}page > ../../docs/${DOLLAR}page.md.new && mv ../../docs/${DOLLAR}page.md.new ../../docs/${DOLLAR}page.md || { rm -f ../../docs/${DOLLAR}page.md.new; exit 1; }; done && go run ../../cmd/sallyport reference stores ../../docs/stores && go run ../../cmd/sallyport reference drivers ../../docs/drivers && go run ../../cmd/sallyport reference sinks ../../docs/sinks && go run ../../cmd/sallyport reference checks ../../docs/doctor"

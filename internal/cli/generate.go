package cli

//go:generate sh -c "for page in errors configuration cli presets; do go run ../../cmd/sallyport reference $page > ../../docs/$page.md.new && mv ../../docs/$page.md.new ../../docs/$page.md || { rm -f ../../docs/$page.md.new; exit 1; }; done"

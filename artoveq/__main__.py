from artoveq.cli import main

main()

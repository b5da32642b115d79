import { Module } from '@nestjs/common';
import { PublicKeysController } from './public-keys.controller.js';

@Module({ controllers: [PublicKeysController] })
export class PublicKeysModule {}
